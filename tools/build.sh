# Sourced by ./clipengine and ./test.sh, with $root set: builds what they need when a source has changed, one build at a time.

export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1 DOTNET_CLI_UI_LANGUAGE=en
# A minimal container has no libicu; nothing here formats or sorts by a culture.
export DOTNET_SYSTEM_GLOBALIZATION_INVARIANT=1
# `docker run --user` leaves no home to write to, and the SDK refuses to start without one.
[ -w "${HOME:-/nonexistent}" ] || export DOTNET_CLI_HOME="$root/artifacts/home" NUGET_PACKAGES="$root/artifacts/packages"

cli="$root/src/ClipEngine.Cli/bin/Release/net10.0/ClipEngine.Cli.dll"
# The same, compiled ahead of time; not there where .NET's compiler for that cannot be fetched (src/ClipEngine.Cli/AheadOfTime.targets).
ahead_of_time="$root/artifacts/program/ClipEngine.Cli.dll"
# As native code, with the fingerprint of its sources; only where tools/publish-native.sh was called.
native_program="$root/artifacts/native-program"

say() { echo "$me: $*" >&2; }

# Whether the C++ runtime is new enough for TorchSharp's library; the program itself asks for the very symbol (TorchSharpRequirements).
has_torchsharp_libraries() {
  [ "$(uname -s)" = Linux ] || return 0
  ldconfig -p 2>/dev/null | awk '/libstdc\+\+\.so\.6 .*x86-64/ { print $NF; exit }' | xargs -r grep -q GLIBCXX_3.4.32
}

# The names, sizes and times of all sources: any change, addition, removal or renaming shows, whatever direction its time goes.
fingerprint() { # fingerprint PATH...: in a command substitution, for it changes the folder
  cd "$root" && LC_ALL=C exec find "$@" CMakeLists.txt Directory.Build.props Directory.Build.targets Directory.Packages.props .editorconfig tools/build-native.sh \
    \( -name bin -o -name obj -o -path tests/data \) -prune -o -type f -printf '%p %s %T@\n'
}

# Whether FILE holds this fingerprint; an empty one, of sources that could not be listed, is nobody's. Every start asks: a folder is listed in one
# order as a rule, so that sorting is seldom needed.
is_fingerprint() { # is_fingerprint FINGERPRINT FILE
  local LC_ALL=C
  [ -n "$1" ] && [ -f "$2" ] && { [ "$1" = "$(<"$2")" ] || [ "$(sort <<<"$1")" = "$(sort "$2")" ]; }
}

up_to_date() { # up_to_date NAME FINGERPRINT
  [ -f "$cli" ] && is_fingerprint "$2" "$root/artifacts/$1.built"
}

# Waits for any other build in this tree, and holds the lock until unlock_build.
lock_build() {
  mkdir -p "$root/artifacts"
  exec 9>"$root/artifacts/.build.lock"
  flock -n 9 || { say "another build is running in this tree; waiting for it"; flock 9; }
}
unlock_build() { exec 9>&-; }

# Runs a build step with its output in a log that is shown when the step fails. The log's name is NAME.log.
logged() { # logged NAME COMMAND...
  local log="$root/artifacts/$1.log"
  shift
  # 9>&-: no child may keep the lock alive.
  "$@" >"$log" 2>&1 9>&- && return 0
  grep -hE 'error|Error' "$log" | sort -u | head -n 30 >&2
  say "the build failed; the whole output is in ${log#"$root"/}"
  return 1
}

dotnet_build() { # dotnet_build NAME PROJECT
  logged "$1" dotnet build "$root/$2" -c Release -nologo -v quiet --disable-build-servers -p:CompileAheadOfTime=true || return 1
  [ -f "$ahead_of_time" ] || say "./clipengine is not compiled ahead of time, so each start takes about 0.15 s longer; artifacts/$1.log says why"
  case "$1" in cli | tests) say_native_is_stale ;; esac
}

# Says that ./clipengine will pass over the native program: once, by the first build of its program of these sources.
say_native_is_stale() {
  [ -d "$native_program" ] || return 0
  local found
  found=$(fingerprint src native) || :
  is_fingerprint "$found" "$native_program/sources" || is_fingerprint "$found" "$root/artifacts/cli.built" ||
    say "the native program is of other sources and is not used; tools/publish-native.sh makes it anew"
}
