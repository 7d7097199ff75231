"""The task families: one file each, with a `load` that makes questions; `pipelines.tasks` lists them."""
