"""What can stop the making of a model.

ModelMakingError
 +-- CorpusBroken
 +-- CheckpointForeign
 +-- CheckpointMissing
 +-- PackageMissing
"""


class ModelMakingError(Exception):
    """Says in one sentence what is wrong and what to do."""


class CorpusBroken(ModelMakingError):
    """The folder holds no whole corpus."""


class CheckpointForeign(ModelMakingError):
    """The checkpoint belongs to a training with another plan."""


class CheckpointMissing(ModelMakingError):
    """Nothing was trained yet."""


class PackageMissing(ModelMakingError):
    """The environment lacks what training needs."""
