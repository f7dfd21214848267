# portable_library(TARGET PATTERN): the library needs nothing but glibc 2.31 or newer and libgcc_s, which .NET needs as well. libstdc++
# is linked statically, and of what is linked statically nothing is exported: another copy in the same process must not meet it.
# Only symbols whose names match PATTERN are exported.
function(portable_library target pattern)
  if(WIN32)  # what is exported stands in the code (CLIPENGINE_API)
    set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})
    return()
  endif()
  if(NOT CMAKE_SYSTEM_NAME STREQUAL Linux)
    return()
  endif()
  target_link_options(${target} PRIVATE -Wl,--exclude-libs,ALL)
  if(CLIPENGINE_SANITIZE)  # the sanitizers put themselves between the library and the system's
    return()
  endif()
  file(WRITE ${CMAKE_CURRENT_BINARY_DIR}/${target}.exports "{ global: ${pattern}; local: *; };\n")
  target_sources(${target} PRIVATE ${PROJECT_SOURCE_DIR}/native/src/core/older_glibc.cpp)
  target_link_options(${target} PRIVATE -static-libstdc++ -Wl,-z,defs -Wl,--version-script,${CMAKE_CURRENT_BINARY_DIR}/${target}.exports)
endfunction()
