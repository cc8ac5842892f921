"""What lies here is installed by tests/plugins/test_third_party.py, as a stranger would, and not collected."""

collect_ignore_glob = ["*"]
