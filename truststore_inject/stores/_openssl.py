"""How a context gets the system store where OpenSSL verifies: Linux, BSD and other Unix systems."""

import _ssl
import os

from .. import _settings
from . import _bundle
from ._bundle import Bundle, load_verify_locations
from ._files import hashed, read, resolve, size
from ._places import BUNDLES, Search, Store, built_in, is_a_tools, is_a_variable_set, is_one_of
from ._places import is_default as is_default

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable, Iterator, Sequence

    from ._files import Path

_found: Search | None = None


def search() -> Search:
    """The store as it is now."""
    global _found
    found = _found  # one look: another thread may replace it
    if found is None or not found.is_current():
        _found = found = Search()
    return found


def is_carried(path: "Path") -> bool:
    """Whether a tool carries `path` for this OpenSSL, and the system store is used instead."""
    _, file, _, directory = built_in()
    return is_one_of(path, file, directory) and is_a_tools() and search().is_carried(path)


def load(context: "ssl.SSLContext") -> bool:
    """See `truststore_inject.stores`."""
    store = search().store
    if store is None:
        return False
    _look_into(context, store)
    if store.addition is not None:
        store.addition.add_to(context)
    return True


def _look_into(context: "ssl.SSLContext", store: Store) -> None:
    """Give `context` the store's file and directories, without what is added to them."""
    if store.by_itself:
        # The file is not read again if it pays to share it.
        if store.file is not None and _bundle.share(context, store.file):
            from . import _libssl

            _libssl.look_into_default_directory(context)
        else:
            _ssl._SSLContext.set_default_verify_paths(context)
        return
    if store.file is not None and not _bundle.share(context, store.file):
        try:
            load_verify_locations(context, cafile=store.file)
        except OSError:  # ssl.SSLError is one: where OpenSSL reads it by itself, it ignores that too
            pass
    if store.directories:
        load_verify_locations(context, capath=os.pathsep.join(store.directories))


def add(context: "ssl.SSLContext", bundles: "Iterable[Bundle]") -> None:
    """Let `context`, which has the system store, trust `bundles` too; they hide nothing in the store's directories."""
    bundles = list(bundles)
    addition = _with_what_they_hide(bundles, search().store) if bundles else None
    if addition is not None:
        addition.add_to(context)


def _with_what_they_hide(bundles: list[Bundle], store: Store | None) -> Bundle | None:
    """`bundles`, and what OpenSSL would no longer find in the directories of `store`; once for each search."""
    if store is None:
        return _bundle.together(bundles)
    key = tuple(map(id, bundles))
    known = store.others.get(key)
    if known is None:
        hidden = _bundle.beside(bundles, store.directories, store.by_itself, in_memory=store.in_memory)
        known = bundles, _bundle.together(bundles if hidden is None else [hidden, *bundles])
        if len(store.others) >= 8:
            store.others.clear()  # files that change all the time
        store.others[key] = known
    return known[1]


def complete(context: "ssl.SSLContext", names_directory: bool) -> None:
    """Add the rest of default trust to the one place of the machine that a program named."""
    if not names_directory and not is_a_variable_set():
        return  # a bundle that nobody chose is complete, so the store need not be looked for
    found = search()
    if found.store is None:
        return
    if found.is_chosen:
        _look_into(context, found.store)
    elif names_directory and found.store.addition is not None:
        found.store.addition.add_to(context)


def is_all_by_itself() -> bool:
    """Whether OpenSSL reads all of default trust here by itself."""
    store = search().store
    return store is None or (store.by_itself and not store.added and _settings.extra_ca_certs() is None)


def describe() -> dict[str, object]:
    """See `truststore_inject.stores`."""
    found = search()
    store = found.store
    return {
        "source": None if store is None else store.source,
        "directories": [] if store is None else list(store.directories),
        "bundles": [] if store is None else [p for p in store.bundles() if size(p) and p not in found.left_out],
        "left_out": [{"path": path, "reason": reason} for path, reason in found.left_out.items()],
    }


def whole_bundle() -> str | None:
    """See `truststore_inject.stores`."""
    global _whole
    found, known = search(), _whole
    if found.store is None:
        return None
    if known is None or known[0] is not found.store:
        try:
            known = _whole = found.store, _find_whole(found.store, [] if found.is_chosen else BUNDLES)
        except OSError:  # ssl.SSLError is one
            return None
    return known[1]


# The store that was looked at, and what was found.
_whole: "tuple[Store, str | None] | None" = None


def _find_whole(store: Store, others: "Sequence[str]") -> str | None:
    """A bundle with every certificate of the directories: OpenSSL takes ten times as long to read those one by one.

    It is the one in memory, else the first of `others` that exists.
    """
    from . import _pem  # here: few processes need it

    in_memory = [*filter(size, store.bundles())]
    path = next(filter(size, in_memory or others), None)
    texts = None if path is None or len(in_memory) > 1 else _pem.plain_blocks(read(path))
    if not texts or path is None:
        return None
    files = [file for directory in store.directories for file in hashed(directory) if size(file)]
    held = [_pem.plain_blocks(read(file)) for file in files]
    if any(text is None or len(text) != 1 or not text <= texts for text in held):
        return None  # there is more in the directories, or only OpenSSL can tell
    bundle = _bundle.read(path)
    if len(bundle.certificates()) != len(texts):
        return None
    if not in_memory:  # nor is there more in the bundle: what OpenSSL does not find in a directory is not trusted
        found = _bundle.beside([bundle], store.directories, store.by_itself)
        if found is None or {*found.certificates()} != {*bundle.certificates()}:
            return None
    return path


def listing() -> "Iterator[tuple[str, bytes]]":
    """See `truststore_inject.stores`."""
    store = search().store
    if store is None:
        return
    held = {} if store.file is None else {store.file: _readable(store.file)}
    held.update(store.added)
    seen = set()
    for path, bundle in held.items():
        for anchor in [] if bundle is None else bundle.certificates():
            if anchor not in seen:
                seen.add(anchor)
                yield resolve(path), anchor
    for path, anchor in _in_directories(store.directories, store.by_itself):
        if anchor not in seen:
            seen.add(anchor)
            yield path, anchor


def hashed_anchors(directory: str) -> "Iterator[tuple[str, bytes]]":
    """The path and the DER of each anchor in a hashed directory."""
    yield from _in_directories([directory], False)


def _in_directories(directories: "Sequence[str]", by_itself: bool) -> "Iterator[tuple[str, bytes]]":
    """What OpenSSL finds there, which is only what has the name that it asks for."""
    files = {path: _readable(path) for directory in directories for path in hashed(directory)}
    anchors = {path: [] if bundle is None else bundle.certificates() for path, bundle in files.items()}
    found = {anchor for held in anchors.values() for anchor in held}
    if _bundle.can_share():
        looked = _bundle.beside([*filter(None, files.values())], directories, by_itself)
        found = set() if looked is None else set(looked.certificates())
    for path, held in anchors.items():
        for anchor in held:
            if anchor in found:
                yield resolve(path), anchor


def _readable(path: str) -> Bundle | None:
    try:
        return _bundle.read_alone(path) if size(path) else None
    except OSError:  # ssl.SSLError is one
        return None
