"""Widgets that draw lines themselves and send the terminal only the cells that changed."""
