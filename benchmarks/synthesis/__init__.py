"""What a synthesis costs, and what becomes of it in trouble."""
