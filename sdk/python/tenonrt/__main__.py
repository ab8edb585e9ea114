"""python -m tenonrt: the tenon command that comes with the package."""
import os
import sys


def main() -> int:
    command = os.path.join(os.path.dirname(os.path.abspath(__file__)), "bin", "tenon")
    if not os.access(command, os.X_OK):
        print("tenonrt: this package was built without the tenon command", file=sys.stderr)
        return 2
    from tenonrt._entry_points import folders

    found = [path for path in [os.environ.get("TENON_ADD_PROVIDER_PATH", ""), *folders()] if path]
    if found:
        os.environ["TENON_ADD_PROVIDER_PATH"] = os.pathsep.join(found)
    os.execv(command, [command, *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
