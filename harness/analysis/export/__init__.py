"""Export the records of a study: as tables, and to other tools."""
