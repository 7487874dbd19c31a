#!/bin/sh
# Stage 6d, in a build root of the CD's release: sign NVIDIA's modules with the kernel's own tool. The key is seen here
# and nowhere else; what the modules carry is the signature.
#   sign-modules.sh ABI HASH KEY CERTIFICATE MODULES
set -eu

abi=$1 hash=$2 key=$3 certificate=$4 modules=$5
for module in "$modules"/*.ko; do
    "/lib/modules/$abi/build/scripts/sign-file" "$hash" "$key" "$certificate" "$module"
done
