# Run by `cmake --install`: the files in which the prefix stands. sinew_source, sinew_share, sinew_bin and sinew_version are set.
set(program "${CMAKE_INSTALL_PREFIX}/${sinew_bin}/sinew")
set(share "$ENV{DESTDIR}${CMAKE_INSTALL_PREFIX}/${sinew_share}")

function(sinew_write path text)
  file(WRITE "${path}" "${text}")
  file(CHMOD "${path}" PERMISSIONS ${ARGN} OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ)
  message(STATUS "Installing: ${path}")
endfunction()

# The program of a job script, unless SINEW names another, is the one it is installed with.
file(GLOB scripts RELATIVE "${sinew_source}" "${sinew_source}/slurm/*" "${sinew_source}/pbs/*")
foreach(script ${scripts})
  file(READ "${sinew_source}/${script}" text)
  string(REPLACE "\nSINEW=\${SINEW:-} " "\nSINEW=\${SINEW:-${program}} " placed "${text}")
  if(text MATCHES "\nSINEW=" AND placed STREQUAL text)
    message(FATAL_ERROR "${script}: its line SINEW=\${SINEW:-} was not found, so that it would not find the installed program")
  endif()
  sinew_write("${share}/jobs/${script}" "${placed}" OWNER_EXECUTE GROUP_EXECUTE WORLD_EXECUTE)
endforeach()

file(READ "${sinew_source}/packages/modulefile.in" text)
string(REPLACE "@PREFIX@" "${CMAKE_INSTALL_PREFIX}" text "${text}")
string(REPLACE "@VERSION@" "${sinew_version}" text "${text}")
sinew_write("${share}/modulefiles/sinew/${sinew_version}" "${text}")
