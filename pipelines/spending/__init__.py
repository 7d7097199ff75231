"""What a run costs: who was asked under which key, at which prices, and the budget that asking is held to."""
