"""Read and write the files of a study: records, run folders, curves and checkpoints."""
