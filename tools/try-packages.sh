#!/usr/bin/env bash
# try-packages.sh FEED VERSION FOLDER MODEL JPEG: does with packages what a user does, in an empty FOLDER: a new console project, the package
# ClipEngine from FEED (a folder of .nupkg files), ten lines that classify JPEG with MODEL; then the tool ClipEngine.Cli, installed and run.
# Packages of others come from this machine's NuGet folder alone, so that no registry is asked. Prints what the programs print.
# Called by tests/ClipEngine.Cli.Tests/PackageTests.cs, which compares it, and there inside a bare Debian 13 too (tools/in-debian13.sh).
set -euo pipefail
feed=$(readlink -f "$1") version=$2 model=$(readlink -f "$4") jpeg=$(readlink -f "$5")
host=${NUGET_PACKAGES:-$HOME/.nuget/packages}
mkdir -p "$3/app"
cd "$3"
export NUGET_PACKAGES=$PWD/packages DOTNET_CLI_HOME=$PWD/home DOTNET_NOLOGO=1 DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_SYSTEM_GLOBALIZATION_INVARIANT=1 DOTNET_GENERATE_ASPNET_CERTIFICATE=false
cat >nuget.config <<CONFIG
<configuration>
  <packageSources><clear /><add key="feed" value="$feed" /></packageSources>
  <fallbackPackageFolders><clear /><add key="machine" value="$host" /></fallbackPackageFolders>
</configuration>
CONFIG
quietly() { "$@" >log 2>&1 || { cat log >&2; exit 1; }; }
cd app
quietly dotnet new console --force
quietly dotnet add package ClipEngine --version "$version" --source "$feed"
cat >Program.cs <<'PROGRAM'
using ClipEngine;

using ClipModel model = ClipModel.Load(args[0]);
FeatureMatrix texts = model.EncodeTexts(["an anchor", "a drum"]);
Console.WriteLine($"decoders loaded for text: {File.ReadAllText("/proc/self/maps").Contains("libclipengine_image")}");
Classification answer = model.Classify([args[1]], ["anchor", "drum", "ladder"], ["a photo of a {}"]);
foreach (LabelProbability label in answer[0])
    Console.WriteLine($"{label.Label} {label.Probability:F4}");
Console.WriteLine($"decoders loaded for images: {File.ReadAllText("/proc/self/maps").Contains("libclipengine_image")}");
PROGRAM
quietly dotnet build -c Release
dotnet bin/Release/*/app.dll "$model" "$jpeg"
cd ..
quietly dotnet tool install ClipEngine.Cli --version "$version" --add-source "$feed" --tool-path tools
export DOTNET_ROOT=${DOTNET_ROOT:-$(dirname "$(readlink -f "$(command -v dotnet)")")}
tools/clipengine --version | cut -d+ -f1
tools/clipengine classify --model "$model" --labels anchor,drum,ladder --template "a photo of a {}" "$jpeg" 2>/dev/null | cut -f2-
