# Calls one function of a DNS script of acme.sh. $0 is its acme.sh; the arguments are those of the assignments below.
dv_home=$1 dv_config=$2 dv_script=$3 dv_function=$4 dv_name=$5 dv_value=$6 dv_scratch=$7
export LE_WORKING_DIR="$dv_home" LE_CONFIG_HOME="$dv_config" LE_TEMP_DIR="$dv_scratch"

# acme.sh ends by calling its first argument: `:` does nothing, and all of its functions are there.
set -- :
. "$dv_home/acme.sh" || exit

# Where it keeps accounts is read as it does that itself.
__initHome
if [ -f "$ACCOUNT_CONF_PATH" ]; then
  . "$ACCOUNT_CONF_PATH"
fi

# Nothing is written into the installation: no settings, no log, no headers of replies.
_setopt() { :; }
_save_conf() { :; }
_clear_conf() { :; }
LOG_FILE= SYS_LOG= NO_TIMESTAMP=1 HTTP_HEADER="$dv_scratch/http.header" DOMAIN_CONF="$dv_scratch/domain.conf"
: >"$DOMAIN_CONF"
USER_AGENT="${USER_AGENT:-$DEFAULT_USER_AGENT}"
ACME_OPENSSL_BIN="${ACME_OPENSSL_BIN:-$DEFAULT_OPENSSL_BIN}"

. "$dv_script" || exit
"$dv_function" "$dv_name" "$dv_value"
