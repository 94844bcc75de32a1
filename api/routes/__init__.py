"""One module per subject: the route, and the pure function that assembles rows into the contract's struct."""
