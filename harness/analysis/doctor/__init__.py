"""What is wrong with a run, in words: what is seen of it, rules that read what is seen, overrides to try."""
