"""One module per subject: frozen msgspec structs, camelCase on the wire; every property is required, absence is null."""
