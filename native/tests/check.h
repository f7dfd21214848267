// The whole of our native test framework: registration, checks that print expected and found, a runner.
//
//   CLIPENGINE_TEST(adds_two_numbers) { CHECK_EQUAL(2 + 2, 4); }
//   CLIPENGINE_TEST_MAIN()
//
// A failed check reports and goes on; the executable returns 1. Arguments on the command line run only the tests whose name
// contains one of them. CLIPENGINE_TEST_STOP=1 ends the run at the first failed check.
#pragma once

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <sstream>
#include <string>
#include <vector>

namespace clipengine_test {

struct Test {
  const char* name;
  void (*body)();
};

inline std::vector<Test>& tests() {
  static std::vector<Test> all;
  return all;
}

inline int& failures() {
  static int count = 0;
  return count;
}

struct Registration {
  Registration(const char* name, void (*body)()) { tests().push_back({name, body}); }
};

inline void report(const char* file, int line, const std::string& text) {
  ++failures();
  std::fprintf(stderr, "%s:%d: %s\n", file, line, text.c_str());
  static const bool stops = std::getenv("CLIPENGINE_TEST_STOP") != nullptr;
  if (stops) std::_Exit(1);
}

template <typename Left, typename Right>
void check_equal(const Left& found, const Right& expected, const char* expression, const char* file, int line) {
  if (found == expected) return;
  std::ostringstream text;
  text << expression << ": expected " << expected << ", found " << found;
  report(file, line, text.str());
}

inline void check_near(double found, double expected, double bound, const std::string& what, const char* file, int line) {
  if (std::abs(found - expected) <= bound) return;  // false for NaN, so that NaN fails
  std::ostringstream text;
  text.precision(9);
  text << what << ": expected " << expected << " within " << bound << ", found " << found;
  report(file, line, text.str());
}

inline int run_all(int count, char** arguments) {
  int run = 0;
  for (const Test& test : tests()) {
    bool is_wanted = count < 2;
    for (int i = 1; i < count; ++i) is_wanted = is_wanted || std::strstr(test.name, arguments[i]) != nullptr;
    if (!is_wanted) continue;
    const int before = failures();
    try {
      test.body();
    } catch (const std::exception& error) {
      report(test.name, 0, std::string("threw ") + error.what());
    }
    ++run;
    std::printf("%s %s\n", failures() == before ? "pass" : "FAIL", test.name);
  }
  std::printf("%d tests, %d failed checks\n", run, failures());
  return failures() == 0 && run > 0 ? 0 : 1;
}

}  // namespace clipengine_test

#define CLIPENGINE_TEST(name)                                                  \
  static void name();                                                          \
  static const clipengine_test::Registration registration_of_##name(#name, name); \
  static void name()
#define CLIPENGINE_TEST_MAIN() \
  int main(int count, char** arguments) { return clipengine_test::run_all(count, arguments); }
#define CHECK(condition)                                                                      \
  do {                                                                                        \
    if (!(condition)) clipengine_test::report(__FILE__, __LINE__, "expected " #condition); \
  } while (false)
#define CHECK_EQUAL(found, expected) clipengine_test::check_equal((found), (expected), #found, __FILE__, __LINE__)
#define CHECK_NEAR(found, expected, bound) clipengine_test::check_near((found), (expected), (bound), #found, __FILE__, __LINE__)
