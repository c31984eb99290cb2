"""For all tests."""

import os

# No test reaches out to a model hub; asking in vain costs most of a minute of retries.
os.environ["HF_HUB_OFFLINE"] = "1"
