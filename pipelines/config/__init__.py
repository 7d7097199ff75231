"""The sections of a run's YAML file, and how it is read and overridden."""
