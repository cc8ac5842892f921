"""Records, run folders, curves and checkpoints: the files of a study."""
