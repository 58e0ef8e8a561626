"""Language models that write: one module a branch, as in `tasks.trainers`."""
