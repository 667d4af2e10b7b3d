# `cmake --install`: headers, libraries, find_package(llmcore) and a pkg-config file.
# tests/install/ is a project that uses all of it.

option(LLMCORE_INSTALL "Install the library" ${PROJECT_IS_TOP_LEVEL})
if(NOT LLMCORE_INSTALL)
  return()
endif()

include(CMakePackageConfigHelpers)
set(LLMCORE_CMAKE_DIR "${CMAKE_INSTALL_LIBDIR}/cmake/llmcore")

install(DIRECTORY "${PROJECT_SOURCE_DIR}/include/llmcore" TYPE INCLUDE
        FILES_MATCHING PATTERN "*.h" PATTERN "*.hpp")
install(FILES "${PROJECT_SOURCE_DIR}/LICENSE" TYPE DOC)

install(TARGETS llmcore llmcore_cpp EXPORT llmcoreTargets)
install(EXPORT llmcoreTargets NAMESPACE llmcore:: DESTINATION "${LLMCORE_CMAKE_DIR}")

# The static library needs at link time what it was built with, so it is installed only where that
# is on the system for others to find. Its target is written by hand in llmcoreConfig.cmake.in, since
# an exported one would drag the names of our own targets along.
set(LLMCORE_INSTALL_STATIC OFF)
if(absl_FOUND AND PCRE2_FOUND AND UTF8PROC_FOUND)
  set(LLMCORE_INSTALL_STATIC ON)
  install(FILES "$<TARGET_FILE:llmcore_static>" TYPE LIB)
else()
  message(STATUS "llmcore: dependencies are built in, so the static library is not installed")
endif()

configure_package_config_file(
  "${PROJECT_SOURCE_DIR}/cmake/llmcoreConfig.cmake.in" "${PROJECT_BINARY_DIR}/llmcoreConfig.cmake"
  INSTALL_DESTINATION "${LLMCORE_CMAKE_DIR}" PATH_VARS CMAKE_INSTALL_INCLUDEDIR CMAKE_INSTALL_LIBDIR)
write_basic_package_version_file("${PROJECT_BINARY_DIR}/llmcoreConfigVersion.cmake"
                                 COMPATIBILITY SameMajorVersion)
install(FILES "${PROJECT_BINARY_DIR}/llmcoreConfig.cmake"
              "${PROJECT_BINARY_DIR}/llmcoreConfigVersion.cmake"
        DESTINATION "${LLMCORE_CMAKE_DIR}")

# pkg-config takes absolute or prefix-relative directories; GNUInstallDirs gives either.
cmake_path(APPEND LLMCORE_PC_LIBDIR "\${prefix}" "${CMAKE_INSTALL_LIBDIR}")
cmake_path(APPEND LLMCORE_PC_INCLUDEDIR "\${prefix}" "${CMAKE_INSTALL_INCLUDEDIR}")
if(LLMCORE_INSTALL_STATIC)
  list(TRANSFORM LLMCORE_ABSL_LIBRARIES REPLACE "::" "_" OUTPUT_VARIABLE requires)
  list(APPEND requires libpcre2-8 libutf8proc)
  list(JOIN requires ", " requires)
  set(LLMCORE_PC_REQUIRES_PRIVATE "Requires.private: ${requires}")
endif()
configure_file("${PROJECT_SOURCE_DIR}/cmake/llmcore.pc.in" "${PROJECT_BINARY_DIR}/llmcore.pc" @ONLY)
# The prefix of `cmake --install --prefix` is known only then.
install(CODE "
  file(READ \"${PROJECT_BINARY_DIR}/llmcore.pc\" text)
  string(REPLACE \"%PREFIX%\" \"\${CMAKE_INSTALL_PREFIX}\" text \"\${text}\")
  file(WRITE \"${PROJECT_BINARY_DIR}/install/llmcore.pc\" \"\${text}\")")
install(FILES "${PROJECT_BINARY_DIR}/install/llmcore.pc"
        DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
