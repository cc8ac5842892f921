"""What lies here is installed by tests/test_third_party.py, as a stranger would, and not collected."""

collect_ignore_glob = ["*"]
