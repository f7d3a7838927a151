"""Imports requests without charset_normalizer: 3 MB that guess the encoding of texts, which nobody asks for here."""

import sys
import warnings

_GUESSER = "charset_normalizer"

if _GUESSER in sys.modules:
    import requests
else:
    sys.modules[_GUESSER] = None  # type: ignore[assignment] # an import of it raises ImportError, which requests expects
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # requests says that it has no guesser
            import requests
    finally:
        del sys.modules[_GUESSER]

__all__ = ["requests"]
