#!/usr/bin/env bash
# try-publish.sh FEED VERSION FOLDER RUNTIME MODEL JPEG: publishes a console project with the package ClipEngine from FEED for another system,
# self-contained, in an empty FOLDER, and starts it there: linux-arm64 in qemu, win-x64 in wine. Prints what the program prints.
# Exit code 77 and a reason on standard error where the .NET runtime for that system cannot be fetched, or nothing here can start it.
# Called by tests/ClipEngine.Cli.Tests/PackageTests.cs.
set -euo pipefail
feed=$(readlink -f "$1") version=$2 runtime=$4 model=$(readlink -f "$5") jpeg=$(readlink -f "$6")
mkdir -p "$3/app"
cd "$3"
export DOTNET_CLI_HOME=$PWD/home DOTNET_NOLOGO=1 DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_GENERATE_ASPNET_CERTIFICATE=false
# The package under test has the version of an older one that may be in the machine's folder: it is read into a folder of its own.
host=${NUGET_PACKAGES:-$HOME/.nuget/packages}
export NUGET_PACKAGES=$PWD/packages
cd app
cat >app.csproj <<PROJECT
<Project Sdk="Microsoft.NET.Sdk">
  <PropertyGroup>
    <OutputType>Exe</OutputType>
    <TargetFramework>net10.0</TargetFramework>
    <Nullable>enable</Nullable>
    <ImplicitUsings>enable</ImplicitUsings>
    <InvariantGlobalization>true</InvariantGlobalization>
    <RestoreAdditionalProjectSources>$feed</RestoreAdditionalProjectSources>
    <RestoreFallbackFolders>$host</RestoreFallbackFolders>
  </PropertyGroup>
  <ItemGroup><PackageReference Include="ClipEngine" Version="$version" /></ItemGroup>
</Project>
PROJECT
cat >Program.cs <<'PROGRAM'
using ClipEngine;

using ClipModel model = ClipModel.Load(args[0]);
Classification answer = model.Classify([args[1]], ["anchor", "drum", "ladder"], ["a photo of a {}"]);
foreach (LabelProbability label in answer[0])
    Console.WriteLine($"{label.Label} {label.Probability:F4}");
PROGRAM
if ! dotnet restore -r "$runtime" -p:SelfContained=true >../restore.log 2>&1; then
  grep -q 'NU1101\|NU1102\|NU1301' ../restore.log || { cat ../restore.log >&2; exit 1; }
  echo "the .NET runtime for $runtime cannot be fetched here" >&2
  exit 77
fi
dotnet publish -c Release -r "$runtime" --self-contained --no-restore -o ../published >../publish.log 2>&1 || { cat ../publish.log >&2; exit 1; }
cd ../published
case "$runtime" in
  linux-arm64)
    [ -f libclipengine.so ] && [ -f libclipengine_image.so ] || { echo "no native libraries were published" >&2; exit 1; }
    command -v qemu-aarch64-static >/dev/null && [ -d /usr/aarch64-linux-gnu ] || { echo "published; qemu-user-static is not installed to start it" >&2; exit 77; }
    exec timeout 300 qemu-aarch64-static -L /usr/aarch64-linux-gnu -cpu max ./app "$model" "$jpeg" ;;
  win-x64)
    [ -f libclipengine.dll ] && [ -f libclipengine_image.dll ] || { echo "no native libraries were published" >&2; exit 1; }
    PATH=$PATH:/usr/lib/wine
    command -v wine64 >/dev/null || { echo "published; wine64 is not installed to start it" >&2; exit 77; }
    # Its first start fills a folder and talks about it.
    export WINEPREFIX=${WINEPREFIX:-$PWD/../wine} WINEDEBUG=-all
    WINEDLLOVERRIDES="mscoree,mshtml=" timeout 120 wine64 wineboot --init >../wine.log 2>&1 || true
    timeout 300 wine64 app.exe "Z:${model//\//\\}" "Z:${jpeg//\//\\}" 2>../stderr.log | tr -d '\r' || { cat ../stderr.log >&2; exit 1; } ;;
esac
