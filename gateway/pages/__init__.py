"""Pages: what people see. Plain files: HTML, style sheets and ES modules; no framework, nothing inline."""
