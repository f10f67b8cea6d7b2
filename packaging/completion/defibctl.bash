# bash completion for defibctl: commands and options from its own --help, names from the controller.
_defibctl_usages() { defibctl --help 2> /dev/null | sed -n '/^usage:/,/^It asks/s/^  \([a-z]\)/\1/p'; }

_defibctl() {
    local word=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]} previous=${COMP_WORDS[COMP_CWORD - 1]} words usage
    if [ "$COMP_CWORD" = 1 ]; then
        words="$(_defibctl_usages | cut -d' ' -f1) --help --version --check-config"
    else
        usage=$(_defibctl_usages | grep "^$command ")
        case $previous in
            --host) words=$(defibctl status --json 2> /dev/null | grep -o '"host":"[^"]*"' | cut -d'"' -f4 | sort -u) ;;
            --service) words=$(defibctl status --json 2> /dev/null | grep -o '"service":"[^"]*"' | cut -d'"' -f4 | sort -u) ;;
            --state) words='STARTING UP SUSPECT DOWN FAILED RESTARTING COOLDOWN HELD' ;;
            --sort) words='worst name host tries age' ;;
            --for | --since | --until | --at | --timeout | --every) words='15m 30m 1h 2h 1d' ;;
            *)
                words=$(grep -o -- '--[a-z-]*' <<< "$usage")
                [[ $usage != *'host|service|container'* ]] || words+=' all host service container'
                [[ $command != drill ]] || words+=' test1 test2 test3'
                [[ $command != decommission ]] || words+=" $(defibctl status --json 2> /dev/null | grep -o '"host":"[^"]*"' | cut -d'"' -f4 | sort -u)"
                [[ $word == -* ]] || words+=" $(defibctl status --json 2> /dev/null | grep -o '"container":"[^"]*"' | cut -d'"' -f4)"
                ;;
        esac
    fi
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}
complete -F _defibctl defibctl
