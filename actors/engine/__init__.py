"""Models that write: vLLM behind one interface, recorded answers behind the same, a ledger of every token spent."""
