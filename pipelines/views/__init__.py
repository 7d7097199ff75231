"""What people look at: a run's page, comparisons, samples in the terminal; all of it read from runs' folders."""
