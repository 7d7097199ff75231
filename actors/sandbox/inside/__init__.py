"""What runs inside the sandbox: locks itself in, then runs programs in children of its own."""
