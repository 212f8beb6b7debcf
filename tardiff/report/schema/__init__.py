"""What the report reads of an evaluation, section by section. What the files hold besides is not looked at."""
