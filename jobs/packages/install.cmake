# What `cmake --install` lays out below a prefix, and the Debian package that `cpack` makes of it:
#   bin/sinew                       the program
#   share/man, bash-completion, zsh what it tells of itself
#   share/sinew/configs, jobs       the studies and the job scripts, which run the installed program
#   share/sinew/modulefiles         for environment-modules and Lmod: `module use PREFIX/share/sinew/modulefiles`
#   share/doc/sinew                 README, changes, licence
include(GNUInstallDirs)
set(SINEW_SHARE ${CMAKE_INSTALL_DATADIR}/sinew)
install(TARGETS sinew)
install(FILES ${CMAKE_BINARY_DIR}/sinew.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(FILES ${CMAKE_BINARY_DIR}/completion/sinew DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
install(FILES ${CMAKE_BINARY_DIR}/completion/_sinew DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
install(DIRECTORY configs DESTINATION ${SINEW_SHARE})
install(PROGRAMS jobs/stage-in.sh DESTINATION ${SINEW_SHARE}/jobs)
install(FILES README.md CHANGELOG.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} RENAME copyright)

# Job scripts and module file name the installed program: known when it is installed, as `--prefix` may say otherwise than the build.
install(CODE "
  set(sinew_source \"${CMAKE_SOURCE_DIR}/jobs\")
  set(sinew_share \"${SINEW_SHARE}\")
  set(sinew_bin \"${CMAKE_INSTALL_BINDIR}\")
  set(sinew_version \"${PROJECT_VERSION}\")
  include(\"${CMAKE_SOURCE_DIR}/jobs/packages/place.cmake\")")

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME sinew)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_CONTACT "sinew maintainers")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "what reinforcement learning changed in a language model")
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION "Reads checkpoints before and after RL and tells, for every cell of an experiment matrix, which
parameters were updated, by how much, of what rank the updates are, and how far two runs updated the same ones. Runs a YAML
study under mpirun, on a laptop or a cluster, into one HDF5 archive and a report.")
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_DEPENDS "openmpi-bin")
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "gnuplot-nox")
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_STRIP_FILES ON)
set(CPACK_SET_DESTDIR ON) # so that what is installed knows its final prefix
set(CPACK_INSTALL_PREFIX /usr)
include(CPack)
