"""Look the installed packages up among the known vulnerabilities, and fail if one of them is there.

Where nobody can be asked, say so and leave it at that: what cannot be known is no reason to stop work.
"""

import json
import subprocess
import sys

ASK = ["-m", "pip_audit", "--local", "--skip-editable", "--format", "json", "--progress-spinner", "off"]


def main() -> int:
    """Ask, and say what came of it."""
    asked = subprocess.run([sys.executable, *ASK], check=False, capture_output=True, text=True)  # noqa: S603 - these words
    try:
        packages = json.loads(asked.stdout)["dependencies"]
    except ValueError:
        reason = (asked.stderr.strip().splitlines() or ["no answer"])[-1]
        print(f"The known vulnerabilities cannot be asked for: {reason}")
        return 0
    known = [package for package in packages if "skip_reason" not in package]
    if not known:
        print(f"The known vulnerabilities cannot be asked for: no answer for any of {len(packages)} packages")
        return 0
    found = [(package, fault) for package in known for fault in package["vulns"]]
    for package, fault in found:
        mended = ", ".join(fault["fix_versions"]) or "no release"
        print(f"{package['name']} {package['version']}: {fault['id']}, mended by {mended}")
    print(f"{len(known)} of {len(packages)} packages looked up, {len(found)} known vulnerabilities")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
