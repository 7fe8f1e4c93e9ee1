//! Stories that a user could tell, over the built command line, with real virtual machines.

mod basics;
mod crash;
mod faults;
mod files;
mod guide;
mod home;
mod image_faults;
mod images;
mod mounts;
mod project_faults;
mod project_faults_folder;
mod projects;
mod refusals;
mod roots;
mod saved;
mod saved_faults;
mod sleep;
mod unshared;
