// clipengine_cuda_compile FOLDER|- ARCHITECTURE...: compiles every kernel for each architecture ("sm_90" gives a cubin,
// "compute_80" PTX), as many architectures at once as there are processors, and prints what each kernel takes. The results
// go into FOLDER ("-" for none), where devices look for them; what is there already for these very kernels is not compiled again.
// --hash prints the hash of the kernels, which stands in the files' names.
// Exit code: 0 done, 1 a kernel does not assemble or spills registers, 77 no NVRTC here (CTest takes that for skipped).
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <map>
#include <sstream>
#include <thread>

#include "core/status.h"
#include "cuda/kernel_sources.h"
#include "cuda/nvrtc.h"

namespace {

using namespace clipengine::cuda;

// Under its final name stands a whole file or none.
void write(const std::string& path, const std::string& content) {
  const std::string partial = path + "." + std::to_string(getpid()) + ".partial";
  std::ofstream file(partial, std::ios::binary);
  file << content;
  file.close();
  if (!file || std::rename(partial.c_str(), path.c_str()) != 0) throw clipengine::Error(CLIPENGINE_INTERNAL, path + " could not be written");
}

bool read(const std::string& path, std::string& content) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  content = text.str();
  return file && !content.empty();
}

std::string stem_of(const std::string& folder, const std::string& architecture) { return folder + "/clipengine-" + kernel_sources_hash() + "." + architecture; }

// Runs in a process of its own: NVRTC compiles one program at a time. Beside the result stands what each kernel takes: a line
// with the compiler, then a line a kernel.
int compile_into(const std::string& folder, const std::string& architecture) {
  try {
    const CompiledKernels compiled = compile_kernels(architecture);
    std::ostringstream report;
    report << "NVRTC " << compiled.version << ", " << compiled.cubin.size() << " bytes\n";
    for (const KernelResources& kernel : compiled.resources)
      report << kernel.name << ' ' << kernel.registers << ' ' << kernel.spilled_bytes << ' ' << kernel.stack_bytes << ' ' << kernel.shared_bytes << '\n';
    const std::string stem = stem_of(folder, architecture);
    write(stem + (architecture.starts_with("compute_") ? ".ptx" : ".cubin"), compiled.cubin);
    write(stem + ".txt", report.str());
    return 0;
  } catch (const std::exception& error) {
    std::printf("FAIL %s: %s\n", architecture.c_str(), error.what());
    std::fflush(stdout);
    return 1;
  }
}

int report(const std::string& folder, const std::vector<std::string>& architectures) {
  int failures = 0;
  std::map<std::string, std::map<std::string, KernelResources>> table;
  for (const std::string& architecture : architectures) {
    std::string text;
    if (!read(stem_of(folder, architecture) + ".txt", text)) continue;  // it failed, and said so
    std::istringstream lines(text);
    std::string line;
    std::getline(lines, line);
    int most = 0, count = 0;
    while (std::getline(lines, line)) {
      std::istringstream words(line);
      KernelResources kernel;
      words >> kernel.name >> kernel.registers >> kernel.spilled_bytes >> kernel.stack_bytes >> kernel.shared_bytes;
      table[kernel.name][architecture] = kernel;
      most = std::max(most, kernel.registers);
      ++count;
      if (kernel.spilled_bytes == 0 && kernel.stack_bytes == 0) continue;
      std::printf("FAIL %s %s: %d bytes spilled, %d bytes of stack\n", architecture.c_str(), kernel.name.c_str(), kernel.spilled_bytes, kernel.stack_bytes);
      ++failures;
    }
    if (count == 0 && architecture.starts_with("sm_")) {
      std::printf("FAIL %s: the assembler did not report on a single kernel\n", architecture.c_str());
      ++failures;
    }
    std::printf("%s: %s, %d kernels, at most %d registers\n", architecture.c_str(), text.substr(0, text.find('\n')).c_str(), count, most);
  }
  std::printf("\n%-28s", "registers (static shared)");
  for (const std::string& architecture : architectures) std::printf(" %12s", architecture.c_str());
  for (const auto& [name, by_architecture] : table) {
    std::printf("\n%-28s", name.c_str());
    for (const std::string& architecture : architectures) {
      const auto found = by_architecture.find(architecture);
      std::string cell = "-";
      if (found != by_architecture.end()) {
        cell = std::to_string(found->second.registers);
        if (found->second.shared_bytes > 0) cell += " (" + std::to_string(found->second.shared_bytes) + ")";
      }
      std::printf(" %12s", cell.c_str());
    }
  }
  std::printf("\n");
  return failures;
}

}  // namespace

int main(int count, char** arguments) {
  if (count == 2 && std::strcmp(arguments[1], "--hash") == 0) {
    std::printf("%s\n", kernel_sources_hash().c_str());
    return 0;
  }
  if (count < 3) {
    std::fprintf(stderr, "usage: clipengine_cuda_compile FOLDER|- ARCHITECTURE...\n       clipengine_cuda_compile --hash\n");
    return 2;
  }
  std::string reason;
  if (!nvrtc_is_available(reason)) {
    std::printf("SKIPPED: %s (CLIPENGINE_NVRTC names a library)\n", reason.c_str());
    return 77;
  }
  std::string folder = arguments[1];
  const bool is_temporary = folder == "-";
  char temporary[] = "/tmp/clipengine-kernels-XXXXXX";
  if (is_temporary) {
    if (mkdtemp(temporary) == nullptr) {
      std::fprintf(stderr, "no temporary folder could be made\n");
      return 1;
    }
    folder = temporary;
  }
  const std::vector<std::string> architectures(arguments + 2, arguments + count);
  int failures = 0;
  unsigned running = 0;
  const auto wait_for_one = [&] {
    int status = 0;
    if (wait(&status) > 0) --running;
    if (status != 0) ++failures;
  };
  for (const std::string& architecture : architectures) {
    std::string known;
    if (read(stem_of(folder, architecture) + ".txt", known)) continue;
    if (running >= std::max(1u, std::thread::hardware_concurrency())) wait_for_one();
    std::fflush(stdout);
    const pid_t child = fork();
    if (child == 0) _exit(compile_into(folder, architecture));
    if (child < 0) ++failures;
    else ++running;
  }
  while (running > 0) wait_for_one();
  failures += report(folder, architectures);
  if (is_temporary) {
    for (const std::string& architecture : architectures)
      for (const char* ending : {".cubin", ".ptx", ".txt"}) std::remove((stem_of(folder, architecture) + ending).c_str());
    rmdir(temporary);
  }
  return failures == 0 ? 0 : 1;
}
