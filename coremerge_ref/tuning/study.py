"""A search's trials in an Optuna study: in SQLite, so that it can be interrupted anywhere and goes on where it was."""

import fcntl
import json
import os
import sqlite3
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coremerge_ref.errors import ParameterError, reason, shown
from coremerge_ref.tuning.baselines import Baseline

if TYPE_CHECKING:
    from optuna.study import Study

NAME, SETTINGS, BASELINES = "coremerge", "settings", "baselines"
_SQLITE = b"SQLite format 3\0"  # how every such file begins


@contextmanager
def opened(path: str | Path | None, settings: Mapping[str, Any], minimize: bool, seed: int) -> "Iterator[Study]":
    """The study at `path`, made where nothing is there; None is one in memory.

    Trials that a killed run left unfinished are put first in the queue. ParameterError where Optuna is missing, where
    something else is there, where another process works on it, and where it is of other settings, naming the first
    that differs.
    """
    optuna = _optuna()
    if path is None:
        yield _made(optuna, None, settings, minimize, seed)
        return
    place = Path(path)
    if not place.absolute().parent.is_dir():
        raise ParameterError(f"study: {shown(path)}: expected its folder to exist; create it first")
    try:
        lock = os.open(place, os.O_RDWR | os.O_CREAT, 0o666)
    except (OSError, ValueError) as error:  # ValueError: of a path that can be none
        raise ParameterError(f"study: {shown(path)}: cannot be opened: {reason(error)}") from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ParameterError(
                f"study: {shown(path)}: another search works on it; wait, or choose another"
            ) from error
        _check_tables(place, os.pread(lock, len(_SQLITE), 0))
        from sqlalchemy.exc import SQLAlchemyError

        failures = (optuna.exceptions.StorageInternalError, SQLAlchemyError, sqlite3.Error, RuntimeError)
        try:
            storage = optuna.storages.RDBStorage(f"sqlite:///{place.absolute()}")
        except failures as error:  # of another version of Optuna
            raise ParameterError(f"study: {shown(path)}: is no study that Optuna can read: {reason(error)}") from error
        try:
            yield _made(optuna, storage, settings, minimize, seed)
        except failures[:-1] as error:
            why = reason(error.__cause__ if isinstance(error.__cause__, Exception) else error)
            raise ParameterError(f"study: {shown(path)}: cannot be read or written: {why}") from error
        finally:
            storage.remove_session()
            storage.engine.dispose()
    finally:
        os.close(lock)  # only now: closing a file gives up what SQLite has locked of it


def scored_before(study: "Study") -> tuple[Baseline, ...]:
    """The baselines that the study keeps."""
    return tuple(Baseline(**each) for each in study.user_attrs.get(BASELINES, []))


def keep_scored(study: "Study", baselines: Sequence[Baseline]) -> None:
    """Keeps those baselines that have a score; the others are tried anew next time."""
    study.set_user_attr(BASELINES, [asdict(baseline) for baseline in baselines if baseline.score is not None])


def _check_tables(path: Path, head: bytes) -> None:
    """ParameterError for a file that is no database, and for a database of something else, which stays as it is."""
    try:
        if head and head != _SQLITE:
            raise sqlite3.DatabaseError("another kind of file")
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if tables and "studies" not in tables:
                raise sqlite3.DatabaseError("a database of something else")
    except sqlite3.Error as error:
        raise ParameterError(
            f"study: {shown(path)}: expected the SQLite file of an earlier search, or none: {reason(error)}"
        ) from error


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise ParameterError("search: Optuna is not installed; pip install optuna") from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def _made(optuna: Any, storage: Any, settings: Mapping[str, Any], minimize: bool, seed: int) -> "Study":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study = optuna.create_study(
            storage=storage, study_name=NAME, direction="minimize" if minimize else "maximize", load_if_exists=True,
            pruner=optuna.pruners.MedianPruner(n_startup_trials=4),
        )  # fmt: skip
    plain = json.loads(json.dumps(settings))
    known = study.user_attrs.get(SETTINGS)
    if known is None:
        study.set_user_attr(SETTINGS, plain)
    else:
        for key in {**plain, **known}:
            if plain.get(key) != known.get(key):
                raise ParameterError(
                    f"study: is of a search with {key} {_brief(known.get(key))}, got {_brief(plain.get(key))}; its "
                    "scores and new ones cannot be compared: choose another study"
                )
    for trial in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
        study.enqueue_trial(trial.params)
    # a seed gives one search; one that goes on must not draw the same numbers again
    drawn = len(study.get_trials(deepcopy=False))
    study.sampler = optuna.samplers.TPESampler(seed=(seed + drawn) % 2**32)
    return study


def _brief(value: Any) -> str:
    return shown(json.dumps(value), 80)[1:-1]
