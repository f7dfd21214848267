# Sourced by test.sh: adds up what the test runners wrote, and distrusts a runner that says less than it should.

passed=0 failed=0 skipped=0 skips='' failures=''

# Reads result elements of the runners' XML and prints one line each: outcome, name, reason; separated by tabs.
# 'tag' is the element, 'name' and 'state' are its attributes.
results_of() { # results_of FILE TAG NAME_ATTRIBUTE STATE_ATTRIBUTE
  awk -v tag="$2" -v name="$3" -v state="$4" '
    function attribute(text, key) {
      return match(text, "[ \n]" key "=\"[^\"]*\"") ? substr(text, RSTART + length(key) + 3, RLENGTH - length(key) - 4) : ""
    }
    function plain(text) {
      gsub(/&lt;/, "<", text); gsub(/&gt;/, ">", text); gsub(/&quot;/, "\"", text); gsub(/&apos;/, "\047", text)
      gsub(/&#x[0-9A-Fa-f]+;/, " ", text); gsub(/&#[0-9]+;/, " ", text); gsub(/&amp;/, "\\&", text); gsub(/[\t\r\n ]+/, " ", text)
      return text
    }
    BEGIN { RS = "<" tag "[ \n]" }
    NR > 1 {
      record = " " $0; sub("</" tag ">.*", "", record); open = record; sub(/>.*/, "", open)
      reason = ""
      if (match(record, /<(Message|StdOut)>[^<]*/)) reason = substr(record, RSTART + 9, RLENGTH - 9)
      else if (record ~ /<skipped / && match(record, /<system-out>[^<]+/)) reason = substr(record, RSTART + 12, RLENGTH - 12)
      sub(/^>/, "", reason)
      print attribute(open, state) "\t" plain(attribute(open, name)) "\t" substr(plain(reason), 1, 300)
    }' "$1"
}

skip_runner() { # skip_runner NAME REASON
  skipped=$((skipped + 1))
  skips+="skipped $1: all of its tests: $2"$'\n'
  echo "   skipped: $2"
}

fail_runner() { # fail_runner NAME WHAT LOG
  failed=$((failed + 1))
  failures+="FAILED $1: $2"$'\n'
  echo "-- $1: $2; the end of its output:" >&2
  tail -n 40 "$3" >&2
}

tally() { # tally NAME RESULTS LOG EXIT_CODE
  local before_failed=$failed before_passed=$passed before_skipped=$skipped outcome test reason
  while IFS=$'\t' read -r outcome test reason; do
    case "$outcome" in
      '') ;; # the one empty line of no results
      Passed | run) passed=$((passed + 1)) ;;
      NotExecuted | notrun | disabled) skipped=$((skipped + 1)); skips+="skipped $1: $test: ${reason:-no reason given}"$'\n' ;;
      *) failed=$((failed + 1)); failures+="FAILED $1: $test: $reason"$'\n' ;;
    esac
  done <<<"$2"
  local new_failed=$((failed - before_failed)) new_passed=$((passed - before_passed)) new_skipped=$((skipped - before_skipped))
  echo "   $new_passed passed, $new_failed failed, $new_skipped skipped"
  if [ "$new_failed" -gt 0 ]; then
    tail -n 200 "$3" >&2
  elif [ "$4" -ne 0 ]; then
    fail_runner "$1" "the runner ended with exit code $4 though no test failed (crashed or stopped before the end)" "$3"
  elif [ $((new_passed + new_failed + new_skipped)) -eq 0 ] && [ -z "${filter:-}" ]; then
    fail_runner "$1" "no test ran" "$3"
  fi
}

count_trx() { # count_trx NAME TRX LOG EXIT_CODE
  if [ -f "$2" ]; then
    tally "$1" "$(results_of "$2" UnitTestResult testName outcome)" "$3" "$4"
  elif [ "$4" -eq 0 ] && [ -n "${filter:-}" ]; then
    echo "   no test matches '$filter'"
  else
    fail_runner "$1" "no results were written (exit code $4)" "$3"
  fi
}

count_ctest() { # count_ctest NAME JUNIT LOG EXIT_CODE
  if [ -f "$2" ]; then
    tally "$1" "$(results_of "$2" testcase name status)" "$3" "$4"
  elif [ "$4" -eq 0 ] && [ -n "${filter:-}" ]; then
    echo "   no test matches '$filter'"
  else
    fail_runner "$1" "no results were written (exit code $4)" "$3"
  fi
}

# Skipped and failed tests by name, then the one line that others parse. Returns 1 when anything failed or nothing ran.
print_total() {
  printf '%s' "$skips" "$failures"
  [ $((passed + failed)) -gt 0 ] || echo "nothing ran"
  echo "$passed passed, $failed failed, $skipped skipped"
  [ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
}
