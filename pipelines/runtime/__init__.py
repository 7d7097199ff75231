"""Ray and the file system under a run: pools of actors, engines whose weights change, the run's folder, progress."""
