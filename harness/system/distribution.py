"""The name that harness has as a distribution. Its module, its command and its group of entry points are `harness`."""

DISTRIBUTION = "dl-harness"
