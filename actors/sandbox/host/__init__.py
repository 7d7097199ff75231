"""The host's side of the sandbox: trusts nothing that comes out of it, and decides what a verdict is."""
