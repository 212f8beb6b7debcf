"""What knows nothing of records: files, checkpoints, several processes, keyed noise, how a number is shown."""
