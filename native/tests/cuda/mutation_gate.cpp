// cuda_mutation_gate ROOT BUILD_FOLDER quick|constants: plants each listed mistake in a kernel, runs the kernel's tests in the
// emulator, and fails if they do not notice.
//
// The lists stand in mutants/*.txt (their format: mutants/README.md). Mistakes that can be switched at run time share one
// compilation: the mistake and the original stand side by side in a copy of the kernel, and CLIPENGINE_MUTANT=N picks the
// N-th. Mistakes in what the compiler must know ("constant") are compiled one by one; that is the run named "constants".
// Exit code: 0 all were noticed, 1 one survived or a list is wrong, 77 nothing to run without CLIPENGINE_LONG (CTest's skip).
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

namespace fs = std::filesystem;

constexpr int kMutantsPerFamily = 10;
constexpr rlim_t kProcessorSeconds = 30;  // a mutant that loops forever ends here; the tests of a family take about two

struct Mutant {
  std::string list, family, name, source, file, within, after, find, with;
  std::vector<std::string> tests;
  int line = 0, number = 0;
  bool is_constant = false;
};

// One compilation: mutants whose edits do not overlap.
struct Batch {
  std::string source, name;
  std::vector<const Mutant*> mutants;
};

std::string read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream content;
  content << file.rdbuf();
  if (!file) throw std::runtime_error(path.string() + ": cannot be read");
  return content.str();
}

void write(const fs::path& path, const std::string& content) {
  fs::create_directories(path.parent_path());
  std::ofstream file(path, std::ios::binary);
  file << content;
  file.close();
  if (!file) throw std::runtime_error(path.string() + ": cannot be written");
}

std::vector<std::string> words(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> all;
  for (std::string word; stream >> word;) all.push_back(word);
  return all;
}

std::vector<Mutant> parse(const fs::path& path) {
  std::istringstream lines(read(path));
  std::vector<Mutant> mutants;
  Mutant common;
  int number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    if (line.empty() || line[0] == '#') continue;
    const size_t space = line.find(' ');
    const std::string key = line.substr(0, space), value = space == std::string::npos ? "" : line.substr(space + 1);
    if (key == "family") {
      common = {};
      common.list = path.filename().string();
      common.family = value;
    } else if (key == "source") {
      common.source = value;
    } else if (key == "file") {
      common.file = value;
    } else if (key == "within") {
      common.within = value;
    } else if (key == "tests") {
      common.tests = words(value);
    } else if (key == "mutant" || key == "constant") {
      Mutant mutant = common;
      mutant.name = value;
      mutant.line = number;
      mutant.is_constant = key == "constant";
      mutants.push_back(mutant);
    } else if (!mutants.empty() && (key == "after" || key == "find" || key == "with")) {
      (key == "after" ? mutants.back().after : key == "find" ? mutants.back().find : mutants.back().with) = value;
    } else {
      throw std::runtime_error(path.string() + ":" + std::to_string(number) + ": '" + key + "' is not a word of these lists");
    }
  }
  for (const Mutant& mutant : mutants) {
    if (mutant.family.empty() || mutant.source.empty() || mutant.file.empty() || mutant.tests.empty() || mutant.find.empty() || mutant.find == mutant.with)
      throw std::runtime_error(path.string() + ":" + std::to_string(mutant.line) + ": a mutant needs family, source, file, tests, find and another with");
  }
  return mutants;
}

// Where a mutant's text stands: the first occurrence behind its anchors. Without an anchor it must be the only one.
size_t locate(const Mutant& mutant, const std::string& text) {
  const std::string where = mutant.list + ":" + std::to_string(mutant.line) + ": " + mutant.file;
  const auto find = [&](const std::string& wanted, size_t from, bool is_unique) {
    const size_t at = text.find(wanted, from);
    if (at == std::string::npos) throw std::runtime_error(where + " has no '" + wanted + "' there any more; mend the list");
    if (is_unique && text.find(wanted, at + 1) != std::string::npos) throw std::runtime_error(where + " has '" + wanted + "' more than once; say behind what");
    return at;
  };
  size_t from = 0;
  if (!mutant.within.empty()) from = find(mutant.within, 0, true) + mutant.within.size();
  if (!mutant.after.empty()) from = find(mutant.after, from, mutant.within.empty()) + mutant.after.size();
  return find(mutant.find, from, from == 0);
}

bool overlap(const Mutant& a, const Mutant& b, const std::string& text) {
  if (a.file != b.file) return false;
  const size_t at_a = locate(a, text), at_b = locate(b, text);
  if (at_a == at_b && a.find == b.find) return false;  // alternatives of one place
  return at_a < at_b + b.find.size() && at_b < at_a + a.find.size();
}

std::vector<Batch> plan(const std::vector<Mutant>& mutants, const fs::path& kernels) {
  std::vector<Batch> batches;
  std::map<std::string, std::string> texts;
  for (const Mutant& mutant : mutants) {
    if (!texts.contains(mutant.file)) texts[mutant.file] = read(kernels / mutant.file);
    locate(mutant, texts[mutant.file]);
    Batch* found = nullptr;
    for (Batch& batch : batches) {
      if (mutant.is_constant || batch.mutants[0]->is_constant || batch.source != mutant.source) continue;
      if (std::none_of(batch.mutants.begin(), batch.mutants.end(), [&](const Mutant* other) { return overlap(mutant, *other, texts[mutant.file]); })) {
        found = &batch;
        break;
      }
    }
    if (found == nullptr) found = &batches.emplace_back(Batch{mutant.source, (mutant.is_constant ? "constant-" : "batch-") + std::to_string(mutant.number), {}});
    found->mutants.push_back(&mutant);
  }
  return batches;
}

// The kernel's text with every mutant of the batch in it, switched by is_mutant(N); a constant one simply replaced.
std::string planted(const std::string& text, const std::string& file, const Batch& batch) {
  std::map<size_t, std::vector<const Mutant*>> places;
  for (const Mutant* mutant : batch.mutants) {
    if (mutant->file == file) places[locate(*mutant, text)].push_back(mutant);
  }
  std::string result;
  size_t at = 0;
  for (const auto& [place, alternatives] : places) {
    result += text.substr(at, place - at);
    const Mutant& first = *alternatives[0];
    at = place + first.find.size();
    if (first.is_constant) {
      result += first.with;
      continue;
    }
    const bool is_statement = first.find.back() == ';';
    std::string open, close;
    for (const Mutant* mutant : alternatives) {
      const std::string condition = "clipengine_mutants::is_mutant(" + std::to_string(mutant->number) + ")";
      open += is_statement ? "if (" + condition + ") { " + mutant->with + " } else " : "(" + condition + " ? (" + mutant->with + ") : ";
      close += is_statement ? "" : ")";
    }
    result += open + (is_statement ? "{ " : "(") + first.find + (is_statement ? " }" : ")") + close;
  }
  return result + text.substr(at);
}

// Starts a command with its output in a file; processor time is limited for mutants that never end.
pid_t start(const std::vector<std::string>& command, const fs::path& log, const std::string& mutant) {
  std::vector<char*> arguments;
  for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  const pid_t child = fork();
  if (child != 0) return child;
  if (std::freopen(log.c_str(), "w", stdout) == nullptr || dup2(1, 2) < 0) _exit(126);
  if (!mutant.empty()) {
    setenv("CLIPENGINE_MUTANT", mutant.c_str(), 1);
    setenv("CLIPENGINE_TEST_STOP", "1", 1);
    const rlimit seconds = {kProcessorSeconds, kProcessorSeconds}, no_core = {0, 0};
    setrlimit(RLIMIT_CPU, &seconds);
    setrlimit(RLIMIT_CORE, &no_core);
  }
  execvp(arguments[0], arguments.data());
  _exit(127);
}

struct Job {
  std::vector<std::string> command;
  fs::path log;
  std::string mutant;
  int status = -1;
};

void run_all(std::vector<Job>& jobs) {
  const size_t at_once = std::max(1u, std::thread::hardware_concurrency());
  std::map<pid_t, Job*> running;
  size_t next = 0;
  while (next < jobs.size() || !running.empty()) {
    while (next < jobs.size() && running.size() < at_once) {
      Job& job = jobs[next++];
      const pid_t child = start(job.command, job.log, job.mutant);
      if (child < 0) throw std::runtime_error("no process could be started");
      running[child] = &job;
    }
    int status = 0;
    const pid_t ended = wait(&status);
    if (const auto found = running.find(ended); found != running.end()) {
      found->second->status = status;
      running.erase(found);
    }
  }
}

std::string first_line(const fs::path& log, const std::string& wanted) {
  std::istringstream lines(read(log));
  std::string first;
  for (std::string line; std::getline(lines, line);) {
    if (first.empty()) first = line;
    if (line.find(wanted) != std::string::npos) return line;
  }
  return first;
}

// Everything that a compilation reads, as one hash: a batch that was compiled from the same is not compiled again.
std::string fingerprint(const fs::path& root, const std::string& salt) {
  uint64_t hash = 0xCBF29CE484222325ull;
  const auto add = [&](const std::string& text) {
    for (unsigned char c : text) hash = (hash ^ c) * 0x100000001B3ull;
  };
  std::vector<fs::path> files;
  for (const char* folder : {"native/include", "native/src/cuda", "native/src/core", "native/tests"}) {
    for (const auto& entry : fs::recursive_directory_iterator(root / folder)) {
      if (entry.is_regular_file()) files.push_back(entry.path());
    }
  }
  std::sort(files.begin(), files.end());
  add(salt);
  for (const fs::path& file : files) add(file.string() + '\0' + read(file));
  std::ostringstream text;
  text << std::hex << hash;
  return text.str();
}

int gate(const fs::path& root, const fs::path& build, bool wants_constants) {
  const fs::path here = root / "native/tests/cuda", kernels = root / "native/src/cuda/kernels";
  std::vector<Mutant> all;
  std::vector<fs::path> lists;
  for (const auto& entry : fs::directory_iterator(here / "mutants")) {
    if (entry.path().extension() == ".txt") lists.push_back(entry.path());
  }
  std::sort(lists.begin(), lists.end());
  for (const fs::path& list : lists) {
    const std::vector<Mutant> mutants = parse(list);
    all.insert(all.end(), mutants.begin(), mutants.end());
  }
  for (size_t i = 0; i < all.size(); ++i) all[i].number = (int)i + 1;

  int failures = 0;
  std::map<std::string, int> family_sizes;
  for (const Mutant& mutant : all) ++family_sizes[mutant.family];
  for (const auto& [family, count] : family_sizes) {
    if (count < kMutantsPerFamily) {
      std::printf("FAIL family %s has %d mutants; at least %d are wanted\n", family.c_str(), count, kMutantsPerFamily);
      ++failures;
    }
  }
  for (const auto& entry : fs::directory_iterator(kernels)) {
    const std::string name = entry.path().filename().string();
    if (entry.path().extension() == ".cu" && std::none_of(all.begin(), all.end(), [&](const Mutant& mutant) { return mutant.file == name; })) {
      std::printf("FAIL %s has no mutants; add a list beside native/tests/cuda/mutants/README.md\n", name.c_str());
      ++failures;
    }
  }

  const std::vector<Batch> planned = plan(all, kernels);
  std::vector<const Batch*> batches;
  for (const Batch& batch : planned) {
    if (batch.mutants[0]->is_constant == wants_constants) batches.push_back(&batch);
  }
  if (wants_constants && std::getenv("CLIPENGINE_LONG") == nullptr) {
    std::printf("SKIPPED: %zu mutants of constants, each a compilation of its own; ./test.sh --long runs them\n", batches.size());
    return failures == 0 ? 77 : 1;
  }

  std::vector<Job> compilations;
  std::vector<std::pair<fs::path, std::string>> stamps;
  const std::string salt = std::string(CLIPENGINE_COMPILER) + (wants_constants ? "c" : "q");
  const std::string hash = fingerprint(root, salt);
  for (const Batch* batch : batches) {
    const fs::path folder = build / batch->name, binary = folder / "tests", stamp = folder / "stamp";
    if (fs::exists(binary) && fs::exists(stamp) && read(stamp) == hash) continue;
    fs::remove_all(folder);
    for (const auto& entry : fs::directory_iterator(kernels)) {
      const std::string name = entry.path().filename().string(), original = read(entry.path());
      const std::string mutated = planted(original, name, *batch);
      if (mutated != original) write(folder / "cuda/kernels" / name, "#include \"cuda/mutants.h\"\n#line 1 \"" + name + "\"\n" + mutated);
    }
    write(folder / "cuda/mutants.h",
          "#pragma once\n#include <cstdlib>\nnamespace clipengine_mutants {\ninline const int active = std::getenv(\"CLIPENGINE_MUTANT\") ? "
          "std::atoi(std::getenv(\"CLIPENGINE_MUTANT\")) : 0;\ninline bool is_mutant(int number) { return number == active; }\n}\n");
    Job job;
    job.command = words(CLIPENGINE_COMPILER);
    const std::string native = (root / "native").string();
    for (const std::string& word : {std::string("-std=c++20"), std::string(wants_constants ? "-O0" : "-O1"), std::string("-w"), std::string("-ffp-contract=off"), "-I" + folder.string(),
                                    "-I" + native + "/include", "-I" + native + "/src", "-I" + native + "/tests", "-I" + here.string(), (here / batch->source).string(),
                                    native + "/tests/cuda/emulator/emulator.cpp", std::string("-o"), binary.string()})
      job.command.push_back(word);
    job.log = folder / "compile.log";
    compilations.push_back(job);
    stamps.emplace_back(stamp, batch->name);
  }
  run_all(compilations);
  for (size_t i = 0; i < compilations.size(); ++i) {
    if (compilations[i].status != 0) throw std::runtime_error(stamps[i].second + " does not compile: " + first_line(compilations[i].log, "error") + " (see " + compilations[i].log.string() + ")");
    write(stamps[i].first, hash);
  }

  // Without a mutant the very same binary must pass; otherwise everything would look noticed.
  std::vector<Job> runs;
  std::vector<const Mutant*> run_mutants;
  for (const Batch* batch : batches) {
    const fs::path folder = build / batch->name;
    if (!wants_constants) {
      runs.push_back({{(folder / "tests").string()}, folder / "original.log", "0"});
      run_mutants.push_back(nullptr);
    }
    for (const Mutant* mutant : batch->mutants) {
      Job job{{(folder / "tests").string()}, folder / (std::to_string(mutant->number) + ".log"), std::to_string(mutant->number)};
      job.command.insert(job.command.end(), mutant->tests.begin(), mutant->tests.end());
      runs.push_back(job);
      run_mutants.push_back(mutant);
    }
  }
  run_all(runs);

  std::map<std::string, std::pair<int, int>> noticed;  // family: noticed, run
  for (size_t i = 0; i < runs.size(); ++i) {
    const int status = runs[i].status;
    const Mutant* mutant = run_mutants[i];
    if (mutant == nullptr) {
      if (status != 0) throw std::runtime_error("the tests fail without any mutant: " + first_line(runs[i].log, "FAIL") + " (see " + runs[i].log.string() + ")");
      continue;
    }
    auto& [killed, total] = noticed[mutant->family];
    ++total;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
      std::printf("SURVIVED %s:%d %s: %s (%s: '%s' became '%s')\n", mutant->list.c_str(), mutant->line, mutant->family.c_str(), mutant->name.c_str(), mutant->file.c_str(), mutant->find.c_str(), mutant->with.c_str());
      ++failures;
      continue;
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) != 1) throw std::runtime_error(runs[i].command[0] + ": exit code " + std::to_string(WEXITSTATUS(status)));
    ++killed;
    const std::string how = WIFSIGNALED(status) ? WTERMSIG(status) == SIGXCPU || WTERMSIG(status) == SIGKILL ? "does not end" : "touches memory that is not its own" : first_line(runs[i].log, ": ");
    std::printf("noticed  %s: %s (%s)\n", mutant->family.c_str(), mutant->name.c_str(), how.substr(how.rfind('/') == std::string::npos ? 0 : how.rfind('/') + 1).substr(0, 150).c_str());
  }
  std::printf("%zu compilations\n", batches.size());
  for (const auto& [family, counts] : noticed) std::printf("%-24s %3d of %3d mutants noticed\n", family.c_str(), counts.first, counts.second);
  return failures == 0 ? 0 : 1;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 4) {
    std::fprintf(stderr, "usage: cuda_mutation_gate ROOT BUILD_FOLDER quick|constants\n");
    return 2;
  }
  try {
    return gate(arguments[1], arguments[2], std::string(arguments[3]) == "constants");
  } catch (const std::exception& error) {
    std::printf("FAIL %s\n", error.what());
    return 1;
  }
}
