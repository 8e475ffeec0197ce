"""What can be wrong with a user's input, as exceptions whose text says the place, the value and the remedy."""

from __future__ import annotations


class CrmAssetsError(Exception):
    """Base of every error a user can mend; the command line prints its text and exits with `exit_code`.

    Args:
        text: what is wrong, where, and the remedy.
        transient: whether the same may succeed in a moment, because a server or the network was at fault, and not
            data, code or settings.
    """

    exit_code = 1

    def __init__(self, text: str, *, transient: bool = False) -> None:
        super().__init__(text)
        self.transient = transient


class SettingsError(CrmAssetsError):
    """A setting or a command-line value is unknown or invalid."""

    exit_code = 2


class SourceError(CrmAssetsError):
    """A source cannot be read, or what it holds does not fit the contract."""

    exit_code = 3


class LakeError(CrmAssetsError):
    """The lake cannot be read or written, or belongs to another format or source."""

    exit_code = 4


class EngineError(CrmAssetsError):
    """An engine could not compute a table, or not write it."""

    exit_code = 4


class QualityError(CrmAssetsError):
    """The data was read, but too much of it is bad to go on."""

    exit_code = 5


class RegistryError(CrmAssetsError):
    """The model store cannot be reached, or lacks a model that the lake refers to."""

    exit_code = 6


class WriteBackError(CrmAssetsError):
    """Scores cannot be written back, or the target did not take them."""

    exit_code = 15


class RunStorageError(CrmAssetsError):
    """The database of Dagster's runs and events cannot be used."""


class LeakageError(CrmAssetsError):
    """Features, a model or a stored month know or hold what they should not."""

    exit_code = 8


def may_pass(error: BaseException) -> bool:
    """Whether an error, or one that it was raised from, is transient."""
    # Exceptions that were raised again may stand in their own chain.
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        if isinstance(link, CrmAssetsError) and link.transient:
            return True
        seen.add(id(link))
        link = link.__cause__ or link.__context__
    return False
