"""Programs a second of the sandbox, beside other ways of running them."""
