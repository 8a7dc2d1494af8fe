"""The command line's Keras starts without libraries that it only may use, and nobody else goes without them."""

from __future__ import annotations

import subprocess
import sys


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_keras_imports_none_of_them_and_others_do() -> None:
    code = (
        "import sys\n"
        "from landmap_models.inference.lean_keras import OPTIONAL, lean_keras\n"
        "lean_keras(); lean_keras()\n"
        "import keras\n"
        "print(sorted(OPTIONAL & set(sys.modules)), str(sys.meta_path).count('_Refused'))\n"
        "import pandas\n"
        "print(pandas.DataFrame({'a': [1]}).shape)"
    )
    assert run(code).splitlines() == ["[] 1", "(1, 1)"]


def test_without_it_keras_is_whole() -> None:
    assert run("import sys, landmap, landmap_models, keras; print('pandas' in sys.modules)") == "True"
