# Debian packages that sinew is built from; with --tests also those its tests need. Installs what is missing.
#
#   bash jobs/setup.sh [--tests]        by itself
#   . jobs/setup.sh [--tests]           from jobs/demo.sh and tests/run.sh
#
# On systems of RPM packages (RHEL, Rocky, Alma, Fedora) nothing is installed: what they call the same is printed, and which of it is missing.
# Nothing is downloaded where nothing is missing. Where packages are missing and cannot be installed, their names are printed
# and the exit status is 4.

setup_packages="openmpi-bin libopenmpi-dev libhdf5-openmpi-dev libscalapack-openmpi-dev libopenblas-dev libyaml-dev
    libjansson-dev libxxhash-dev cmake ninja-build make gcc libc6-dev pkg-config gnuplot-nox"
setup_test_packages="libcmocka-dev python3-numpy python3-h5py python3-pandas python3-torch hdf5-tools chromium
    clang clang-format clang-tidy cppcheck man-db groff-base slurmctld slurmd slurm-client slurm-wlm-basic-plugins munge environment-modules
    file dpkg-dev iproute2 gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static"

# What RHEL and its kin call those. Some are in CodeReady Builder and in EPEL.
setup_rpm_packages="openmpi openmpi-devel hdf5-openmpi-devel scalapack-openmpi-devel openblas-devel libyaml-devel jansson-devel
    xxhash-devel cmake ninja-build make gcc glibc-devel pkgconf-pkg-config gnuplot"

# Names of the RPM packages that are missing, and how to have them: for whoever may install packages, or for the site.
setup_tell_rpm() {
    local package missing=
    for package in $setup_rpm_packages; do
        rpm -q --whatprovides "$package" >/dev/null 2>&1 || missing="$missing $package"
    done
    if [ -z "$missing" ]; then
        echo "setup: all packages are there; MPI is found after 'module load mpi/openmpi-x86_64'"
        return
    fi
    echo "setup: packages that are not installed from here; where modules of a cluster have the libraries, load those instead:"
    echo "setup:   dnf install epel-release && dnf config-manager --set-enabled crb"
    echo "setup:   dnf install$missing"
    echo "setup:   module load mpi/openmpi-x86_64"
}

# Names of the packages given that dpkg does not have installed.
setup_missing() {
    local package state
    for package in "$@"; do
        # pkg-config is a name that pkgconf provides on newer systems.
        [ "$package" = pkg-config ] && command -v pkg-config >/dev/null && continue
        state=$(dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | head -n 1)
        [ "$state" = installed ] || printf '%s ' "$package"
    done
}

setup() {
    local wanted=$setup_packages missing as=
    [ "${1:-}" = --tests ] && wanted="$wanted $setup_test_packages"

    # Open MPI refuses to start as root unless it is told twice; for anybody else nothing is changed.
    if [ "$(id -u)" = 0 ]; then
        export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
    fi

    if ! command -v dpkg-query >/dev/null && command -v rpm >/dev/null; then
        setup_tell_rpm
        return 0
    fi
    if ! command -v dpkg-query >/dev/null; then
        echo "setup: no dpkg here, so nothing is installed; needed are what Debian 12 calls:" $wanted
        return 0
    fi
    # shellcheck disable=SC2086 # the lists are words on purpose
    missing=$(setup_missing $wanted)
    if [ -z "$missing" ]; then
        echo "setup: all packages are there"
        return 0
    fi
    echo "setup: missing packages: $missing"
    if [ "$(id -u)" != 0 ]; then
        if ! command -v sudo >/dev/null || ! { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
            echo "setup: not root, and sudo cannot be used; have these installed: apt-get install $missing" >&2
            return 4
        fi
        as=sudo
    fi
    # shellcheck disable=SC2086
    if ! { $as apt-get update -q &&
           $as env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing; }; then
        echo "setup: apt-get failed; these packages are needed: $(setup_missing $wanted)" >&2
        return 4
    fi
    # shellcheck disable=SC2086
    missing=$(setup_missing $wanted)
    if [ -n "$missing" ]; then
        echo "setup: still missing after apt-get: $missing" >&2
        return 4
    fi
}

setup "$@" || exit
