"""gRPC as this house uses it: one server factory, one channel factory, one edge that every call passes."""
