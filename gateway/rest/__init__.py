"""REST from the contract: routes, documents and errors follow the proto's HTTP annotations."""
