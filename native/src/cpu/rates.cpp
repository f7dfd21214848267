#include "cpu/rates.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(_WIN32)
#include <windows.h>
#include <direct.h>
#include <process.h>
#else
#include <cerrno>
#include <sys/stat.h>
#include <unistd.h>
#endif

#include "ceilings/arithmetic.h"
#include "clipengine_ceilings.h"
#include "clipengine_cpu.h"
#include "cpu/amx/support.h"

namespace clipengine::cpu {
namespace {

#if defined(__x86_64__)

// Processors that were measured (benchmarks/RESULTS.md): a table gives the same answer, and so the same features,
// every time.
struct Known {
  char vendor[13];
  unsigned family, first_model, last_model;
  double pairs, tiles;
};
constexpr Known kKnown[] = {
    {"GenuineIntel", 6, 207, 207, 0.49, 7.1},  // Emerald Rapids
    {"AuthenticAMD", 25, 17, 17, 2.0, 0},      // Zen 4, EPYC
    {"AuthenticAMD", 26, 0, 255, 2.0, 0},      // Zen 5
};

struct Model {
  char vendor[13] = {};
  unsigned family = 0, model = 0, stepping = 0;
};

Model processor_model() {
  Model found;
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  if (__get_cpuid(0, &eax, &ebx, &ecx, &edx) == 0) return found;
  std::memcpy(found.vendor, &ebx, 4);
  std::memcpy(found.vendor + 4, &edx, 4);
  std::memcpy(found.vendor + 8, &ecx, 4);
  __get_cpuid(1, &eax, &ebx, &ecx, &edx);
  const unsigned base = eax >> 8 & 15;
  found.family = base == 15 ? base + (eax >> 20 & 255) : base;
  found.model = (eax >> 4 & 15) + (base == 6 || base == 15 ? (eax >> 12 & 0xf0) : 0);
  found.stepping = eax & 15;
  return found;
}

const Known* look_up(const Model& model) {
  for (const Known& known : kKnown) {
    if (std::strcmp(model.vendor, known.vendor) == 0 && model.family == known.family && model.model >= known.first_model && model.model <= known.last_model) return &known;
  }
  return nullptr;
}

// Operations a second, the best of runs that take turns, so that a neighbour or a rising clock meets all alike.
void measure(const Arithmetic* loops, int count, double* best) {
  using Clock = std::chrono::steady_clock;
  const auto time = [&](const Arithmetic& arithmetic, int64_t rounds) {
    const auto start = Clock::now();
    arithmetic.loop(rounds);
    return std::chrono::duration<double>(Clock::now() - start).count();
  };
  constexpr int kTurns = 8;
  constexpr double kSeconds = 0.0007;
  int64_t rounds[3];
  for (int i = 0; i < count; ++i) {
    best[i] = 0;
    time(loops[i], 1000);
    rounds[i] = std::clamp<int64_t>(static_cast<int64_t>(kSeconds * 1000 / std::max(time(loops[i], 1000), 1e-7)), 100, 200000);
  }
  for (int turn = 0; turn < kTurns; ++turn) {
    for (int i = 0; i < count; ++i) best[i] = std::max(best[i], static_cast<double>(rounds[i]) * loops[i].operations / time(loops[i], rounds[i]));
  }
}

Rates measure_rates(bool pairs, bool tiles) {
  Arithmetic loops[3] = {arithmetic_of(CLIPENGINE_CEILING_FLOAT32, CLIPENGINE_CPU_AVX512)};
  int count = 1;
  if (pairs) loops[count++] = arithmetic_of(CLIPENGINE_CEILING_BFLOAT16, CLIPENGINE_CPU_AVX512_BF16);
  if (tiles) loops[count++] = arithmetic_of(CLIPENGINE_CEILING_BFLOAT16, CLIPENGINE_CPU_AMX);
  double rates[3];
  measure(loops, count, rates);
  Rates found;
  found.pairs = pairs ? rates[1] / rates[0] : 0;
  found.tiles = tiles ? rates[count - 1] / rates[0] : 0;
  return found;
}

#endif

Rates find() {
  Rates found;
#if defined(__x86_64__)
  const bool pairs = __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vnni"), tiles = amx_support().usable;
  if (!pairs && !tiles) return found;
  if (const Known* known = look_up(processor_model())) {
    found.pairs = pairs ? known->pairs : 0;
    found.tiles = tiles ? known->tiles : 0;
    if ((!pairs || known->pairs > 0) && (!tiles || known->tiles > 0)) return found;
  }
  found = kept_rates(rates_file(), pairs, tiles, [&] { return measure_rates(pairs, tiles); });
#endif
  return found;
}

// The first line of a file: another measurement is another number.
constexpr const char* kHeading = "clipengine rates of bf16 to fp32 in millionths, 1";
constexpr long long kParts = 1000000;  // whole numbers, which every locale writes alike

#if defined(_WIN32)
// Names are UTF-8 here and UTF-16 in the system: its narrow functions would read them in the code page of the machine.
std::wstring wide(const std::string& text) {
  std::wstring result(static_cast<size_t>(std::max(0, MultiByteToWideChar(CP_UTF8, 0, text.data(), static_cast<int>(text.size()), nullptr, 0))), L'\0');
  MultiByteToWideChar(CP_UTF8, 0, text.data(), static_cast<int>(text.size()), result.data(), static_cast<int>(result.size()));
  return result;
}

std::string variable(const char* name) {
  const wchar_t* value = _wgetenv(wide(name).c_str());
  if (value == nullptr) return "";
  std::string result(static_cast<size_t>(std::max(1, WideCharToMultiByte(CP_UTF8, 0, value, -1, nullptr, 0, nullptr, nullptr)) - 1), '\0');
  WideCharToMultiByte(CP_UTF8, 0, value, -1, result.data(), static_cast<int>(result.size()) + 1, nullptr, nullptr);
  return result;
}

constexpr const char* kSeparators = "/\\";
std::FILE* open(const std::string& file, const char* mode) { return _wfopen(wide(file).c_str(), wide(mode).c_str()); }
void make_folder(const std::string& path) { _wmkdir(wide(path).c_str()); }
void remove_file(const std::string& file) { _wremove(wide(file).c_str()); }
int process_number() { return _getpid(); }
bool move_over(const std::string& from, const std::string& to) { return MoveFileExW(wide(from).c_str(), wide(to).c_str(), MOVEFILE_REPLACE_EXISTING) != 0; }
// False where another file of that name is there.
bool move_where_none_is(const std::string& from, const std::string& to) {
  if (MoveFileExW(wide(from).c_str(), wide(to).c_str(), 0) != 0) return true;
  const DWORD error = GetLastError();
  return error != ERROR_ALREADY_EXISTS && error != ERROR_FILE_EXISTS && move_over(from, to);
}
#else
[[maybe_unused]] std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

constexpr const char* kSeparators = "/";
std::FILE* open(const std::string& file, const char* mode) { return std::fopen(file.c_str(), mode); }
void make_folder(const std::string& path) { mkdir(path.c_str(), 0700); }
void remove_file(const std::string& file) { std::remove(file.c_str()); }
int process_number() { return getpid(); }
bool move_over(const std::string& from, const std::string& to) { return std::rename(from.c_str(), to.c_str()) == 0; }
// False where another file of that name is there. A file system without hard links has none to offer for this; there the last one stays.
bool move_where_none_is(const std::string& from, const std::string& to) {
  if (link(from.c_str(), to.c_str()) != 0) return errno != EEXIST && move_over(from, to);
  remove_file(from);
  return true;
}
#endif

bool read_rates(const std::string& file, Rates& found) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> opened(open(file, "rb"), [](std::FILE* one) { return one == nullptr ? 0 : std::fclose(one); });
  if (opened == nullptr) return false;
  char text[256] = {};
  const size_t length = std::fread(text, 1, sizeof text - 1, opened.get());
  const std::string heading = std::string(kHeading) + "\n";
  long long pairs = 0, tiles = 0;
  char end = 0;
  if (length < heading.size() || heading != std::string(text, heading.size()) || std::sscanf(text + heading.size(), "pairs %lld\ntiles %lld%c", &pairs, &tiles, &end) != 3 || end != '\n') return false;
  constexpr long long kMost = 1000 * kParts;
  if (pairs < 0 || tiles < 0 || pairs > kMost || tiles > kMost) return false;
  found.pairs = static_cast<double>(pairs) / kParts;
  found.tiles = static_cast<double>(tiles) / kParts;
  return true;
}

bool usable(const std::string& file, bool pairs, bool tiles, Rates& found) {
  return read_rates(file, found) && (!pairs || found.pairs > 0) && (!tiles || found.tiles > 0);
}

// The whole file or none of it; what goes wrong costs the next process a measurement. Of several processes that measure at once the
// first one's file stays, and all of them take what it says: with numbers of their own they might choose other instructions.
void publish(const std::string& file, bool pairs, bool tiles, Rates& rates) {
  for (size_t slash = file.find_first_of(kSeparators, 1); slash != std::string::npos; slash = file.find_first_of(kSeparators, slash + 1)) make_folder(file.substr(0, slash));
  const std::string temporary = file + "." + std::to_string(process_number());
  std::FILE* opened = open(temporary, "wb");
  if (opened == nullptr) return;
  const bool written = std::fprintf(opened, "%s\npairs %lld\ntiles %lld\n", kHeading, std::llround(rates.pairs * kParts), std::llround(rates.tiles * kParts)) > 0;
  const bool closed = std::fclose(opened) == 0;
  if (!written || !closed) {
    remove_file(temporary);
    return;
  }

  if (move_where_none_is(temporary, file)) return;
  Rates first;
  if (usable(file, pairs, tiles, first)) {
    rates.pairs = pairs ? first.pairs : 0;
    rates.tiles = tiles ? first.tiles : 0;
    remove_file(temporary);
  } else if (!move_over(temporary, file)) {  // a damaged file, or one of another release
    remove_file(temporary);
  }
}

std::string find_file() {
#if defined(__x86_64__)
#if defined(_WIN32)
  constexpr const char* kHome = "USERPROFILE";
  const auto absolute = [](const std::string& path) { return path.size() > 2 && path[1] == ':'; };
#else
  constexpr const char* kHome = "HOME";
  const auto absolute = [](const std::string& path) { return !path.empty() && path[0] == '/'; };
#endif
  const std::string cache = variable("XDG_CACHE_HOME"), home = variable(kHome);
  std::string folder;
  if (absolute(cache)) {
    folder = cache;
  } else if (absolute(home)) {
    folder = home + "/.cache";
  } else {
    return "";
  }
  const Model model = processor_model();
  return folder + "/clipengine/rates/" + model.vendor + "-" + std::to_string(model.family) + "-" + std::to_string(model.model) + "-" + std::to_string(model.stepping);
#else
  return "";
#endif
}

}  // namespace

Rates kept_rates(const std::string& file, bool pairs, bool tiles, const std::function<Rates()>& measure) {
  Rates found;
  if (!file.empty() && usable(file, pairs, tiles, found)) {
    found.source = CLIPENGINE_CPU_RATES_KEPT;
    if (!pairs) found.pairs = 0;
    if (!tiles) found.tiles = 0;
    return found;
  }
  found = measure();
  found.pairs = static_cast<double>(std::llround(found.pairs * kParts)) / kParts;  // as the file holds it
  found.tiles = static_cast<double>(std::llround(found.tiles * kParts)) / kParts;
  found.source = CLIPENGINE_CPU_RATES_MEASURED;
  if (!file.empty()) publish(file, pairs, tiles, found);
  return found;
}

const std::string& rates_file() {
  static const std::string found = find_file();
  return found;
}

const Rates& rates() {
  static const Rates found = find();
  return found;
}

}  // namespace clipengine::cpu
