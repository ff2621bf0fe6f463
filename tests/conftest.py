"""What all tests share."""

import kit  # noqa: F401 - before gRPC, so that tests run on the event engine that the product runs on
