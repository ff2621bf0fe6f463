"""The scope of tests that call repositories themselves."""

from tests.postgres import every_tenant

__all__ = ["every_tenant"]
