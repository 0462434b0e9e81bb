"""The door to the stack for whatever `python3` there is: old ones must be able to parse it to be told so."""

import sys

if sys.version_info < (3, 11):
    sys.exit(
        "Atalaya needs Python 3.11 or newer; this is %d.%d (%s). "
        "Name another one: make PYTHON=/path/to/python3.11 ..."
        % (sys.version_info[0], sys.version_info[1], sys.executable)
    )

if __name__ == "__main__":
    from stack.install import main

    main(sys.argv[1:])
